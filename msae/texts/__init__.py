"""In: stories by name, by file or from the hub. Out: lists of strings, cleaned and checked, split into training and held out."""

from msae.texts.stories import HELD_OUT, load_stories, pack_stories, save_stories, split_stories

__all__ = ["load_stories", "split_stories", "save_stories", "pack_stories", "HELD_OUT"]  # noqa: RUF022  (as they are read)
