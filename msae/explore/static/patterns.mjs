// Token patterns in the browser: the language of msae/patterns/grammar.lark, read by hand and matched by the browser's own RegExp.
// msae/patterns.py says how it works and is held to the same cases (tests/patterns_cases.json). No dependency, no import.
//
//   const texts = corpus({ tokens, start, vocab });            // ids into vocab, text after text; start has one entry more than texts
//   latentsIn("[S/7 & cap]")                                   // ["S/7"]: their firings are needed
//   match("[S/7 & cap]", texts, { "S/7": { positions, values, max } })   // Uint8Array, 1 where marked
//   const search = matcher(source, { tokens, start, vocab });  // the same in a worker, ended when it takes too long
//   await search.match("[S/7 & cap]", latents);

const MAX_GAPS = 2, MAX_COUNT = 1000, MAX_TESTS = 24, MAX_SIGNATURES = 0xd7fe;
const PLACE_FLAGS = ["quoted", "seen", "first"];
const ANY = "[^\\x00]";
const ESCAPES = { n: "\n", r: "\r", t: "\t" };

export class PatternError extends Error {
  /** `position` counts UTF-16 units from the start of the query; `line` and `column` count characters, from 1. */
  constructor(reason, query, position) {
    const before = query.slice(0, position).split("\n");
    const line = before.length, column = [...before.at(-1)].length + 1;
    const shown = query.split("\n")[line - 1].replaceAll("\t", " ");
    const where = query.includes("\n") ? `line ${line}, column ${column}` : `column ${column}`;
    super(`${reason} (${where})\n  ${shown}\n  ${" ".repeat(column - 1)}^`);
    Object.assign(this, { name: "PatternError", reason, line, column });
  }
}

// ---- One token's regular expression, /like this/: see msae/_token_regex.py, which this follows line by line.

const CLASSES = { d: "\\p{Nd}", w: "\\p{L}\\p{M}\\p{N}_", s: "\\p{White_Space}" };
const PIECE = new RegExp(
  String.raw`(?<open>\((?:\?[:=!])?)|(?<close>\))|(?<bar>\|)|(?<dot>\.)|(?<quantifier>[?*+]|\{[0-9]{1,3}(?:,[0-9]{0,3})?\})` +
  String.raw`|(?<set>\[(?!\^\])\^?(?:\\.|[^\]\\])+\])|(?<property>\\[pP]\{[A-Z][a-z]?\})|(?<class>\\[dwsDWS])` +
  String.raw`|(?<char>\\[nrt]|\\[^\p{L}\p{N}]|[^\\(){}\[\]^$])`, "suy");
const SET_ITEM = new RegExp(
  String.raw`(?<property>\\[pP]\{[A-Z][a-z]?\})|(?<class>\\[dws])` +
  String.raw`|(?<low>\\[nrt]|\\[^\p{L}\p{N}]|[^\\])(?:-(?<high>\\[nrt]|\\[^\p{L}\p{N}]|[^\\]))?`, "suy");

class NotARegex extends Error {
  constructor(reason, at) { super(reason); this.at = at; }
}

function at(expression, text, place) {
  expression.lastIndex = place;
  return expression.exec(text);
}

/** The expression in the words that Python and JavaScript share; folded throughout if `ignoreCase`. */
function translate(body, ignoreCase) {
  if (!body) throw new NotARegex("an empty regular expression", 0);
  let out = "", repeatable = false, place = 0;
  const opened = [];
  while (place < body.length) {
    const piece = at(PIECE, body, place);
    if (!piece) throw new NotARegex(whyNoPiece([...body.slice(place, place + 3)].slice(0, 2).join("")), place);
    const [kind, text] = Object.entries(piece.groups).find(([, found]) => found !== undefined);
    let lookahead = false;
    if (kind === "open") {
      opened.push([place, text === "(?=" || text === "(?!"]);
      out += text === "(" ? "(?:" : text;
    } else if (kind === "close") {
      if (!opened.length) throw new NotARegex("this ) closes nothing", place);
      lookahead = opened.pop()[1];
      out += ")";
    } else if (kind === "quantifier") {
      if (!repeatable) throw new NotARegex(`${text} has nothing to repeat`, place);
      out += text;
    } else if (kind === "set") out += translateSet(text, ignoreCase, place);
    else if (kind === "class") out += `[${"DWS".includes(text[1]) ? "^" : ""}${CLASSES[text[1].toLowerCase()]}]`;
    else if (kind === "char") out += escaped(plain(text, ignoreCase));
    else out += text;
    repeatable = !["open", "bar", "quantifier"].includes(kind) && !lookahead;
    place += text.length;
  }
  if (opened.length) throw new NotARegex("this ( is never closed", opened.at(-1)[0]);
  return out;
}

function whyNoPiece(text) {
  if ("^$".includes(text[0])) return `the whole token has to match, so ${text[0]} is not needed; the character itself is \\${text[0]}`;
  if (text[0] === "\\") return `${text} is not known here; known are \\d \\w \\s \\n \\r \\t, \\p{Lu} and its like, and escaped marks`;
  return `${text[0]} has a meaning of its own here; the character itself is \\${text[0]}`;
}

function translateSet(text, ignoreCase, offset) {
  let place = text.startsWith("[^") ? 2 : 1, out = text.slice(0, place);
  const inner = text.slice(0, -1);
  while (place < inner.length) {
    const item = at(SET_ITEM, inner, place);
    if (!item) throw new NotARegex(`${[...inner.slice(place)].slice(0, 2).join("")} cannot stand between [ and ]`, offset + place);
    const { property, class: named, low, high } = item.groups;
    if (named) out += CLASSES[named[1]];
    else if (property) out += property;
    else {
      const ends = [low, high].filter((end) => end !== undefined).map((end) => plain(end, ignoreCase));
      if (ends[0].codePointAt() > ends.at(-1).codePointAt()) throw new NotARegex(`${item[0]} runs backwards`, offset + place);
      out += ends.map(escaped).join("-");
    }
    place += item[0].length;
  }
  return out + "]";
}

function plain(text, ignoreCase) {
  const char = text[0] === "\\" && text.length > 1 ? ESCAPES[text[1]] ?? text.slice(1) : text;
  return ignoreCase ? fold(char) : char;
}

/** In lower case, character by character: one whose lower case is two (İ) stays, and ς is σ wherever it stands. */
function fold(text) {
  return Array.from(text, (char) => ([...char.toLowerCase()].length === 1 ? char.toLowerCase() : char)).join("").replaceAll("ς", "σ");
}

const escaped = (char) => /[\p{L}\p{N}]/u.test(char) || char.codePointAt() > 127 ? char : "\\x" + char.codePointAt().toString(16).padStart(2, "0");

const FLAGS = {
  space: String.raw` .*`,
  cap: String.raw`\s*\p{Lu}.*`,
  upper: String.raw`\s*\p{Lu}[\p{Lu}\p{M}]*\s*`,
  alpha: String.raw`\s*\p{L}[\p{L}\p{M}]*\s*`,
  digit: String.raw`\s*\d+\s*`,
  punct: String.raw`\s*[^\p{L}\p{M}\p{N}\s][^\p{L}\p{N}]*`,
  newline: String.raw`.*\n.*`,
};

// ---- Reading. Nodes are { kind, … }: one, literal, edge, chain, either, repeat, look, focus; conditions: test, not, all, any.

const WORDS = {
  blank: /(?:[ \t\r\n\u00a0]+|#[^\n]*)*/y,
  let: /let(?=[ \t\r\n]+[a-z_][a-z0-9_]*[ \t\r\n]*=)/y,
  name: /[a-z_][a-z0-9_]*/y,
  quantifier: /[?*+]|\{[ ]*[0-9]+[ ]*(,[ ]*([0-9]+[ ]*)?)?\}/y,
  look: /\(\?(?:<=|<!|=|!)/y,
  string: /"(\\[^\n]|[^"\\])*"/uy,
  regex: /\/((?:\\[^\n]|[^\/\\])*)\/(i?)/uy,
  word: /\p{L}[\p{L}\p{M}'’-]*/uy,
  latent: /[A-Za-z][A-Za-z0-9_.-]*(\/[A-Za-z0-9_.-]+)*\/[0-9]+(?![A-Za-z0-9_.\/-])/y,
  flag: /[A-Za-z][A-Za-z0-9_]*/y,
  comparison: />=|<=|>|<|=/y,
  is: /!=|=/y,
  number: /[0-9]+(\.[0-9]+)?/y,
  int: /[0-9]+/y,
};
const TRUE = { kind: "all", parts: [] }, FALSE = { kind: "any", parts: [] };
const one = (condition) => ({ kind: "one", condition });
const test = (name, args, place) => ({ kind: "test", name, args, key: JSON.stringify([name, ...args]), at: place });
const join = (kind, parts, field) => (parts.length === 1 ? parts[0] : { kind, [field]: parts });

/** The tree of a pattern, definitions put where they are used. Throws PatternError. */
export function parse(query) {
  try {
    return read(query);
  } catch (error) {
    if (error instanceof RangeError) throw new PatternError("this pattern is nested too deeply", query, 0);
    throw error;
  }
}

function read(query) {
  let place = 0, refused = null;
  const definitions = new Map();

  // What cannot be read stops at once; what can be read but not meant is told only if all of the query can be read.
  const unreadable = () => { throw new PatternError(unexpected(query.slice(place)), query, place); };
  const refuse = (reason, where) => { refused ??= new PatternError(reason, query, where); };
  const skip = () => { place += at(WORDS.blank, query, place)[0].length; };
  const take = (word) => {
    skip();
    const found = at(WORDS[word], query, place);
    if (found) place += found[0].length;
    return found && Object.assign(found, { at: found.index });
  };
  const sign = (text) => {
    skip();
    if (!query.startsWith(text, place)) return false;
    place += text.length;
    return true;
  };
  const need = (found) => found || unreadable();

  function definition() {
    const name = need(take("name"));
    need(sign("="));
    const node = pattern();
    need(sign(";"));
    if (definitions.has(name[0])) refuse(`$${name[0]} is defined twice`, name.at);
    definitions.set(name[0], node);
  }

  function pattern() {
    const options = [sequence()];
    while (sign("|")) options.push(sequence());
    return join("either", options, "options");
  }

  function sequence() {
    const items = [item()];
    for (skip(); place < query.length && !"|);".includes(query[place]); skip()) items.push(item());
    return join("chain", items, "items");
  }

  function item() {
    if (!sign("@")) return repeated();
    const where = place - 1, node = repeated(), repeat = node.kind === "repeat", marked = repeat ? node.item : node;
    if (!asCondition(marked) || (repeat && (node.low > 1 || node.high !== null)))
      refuse("@ marks one token, or a run of them with + or *; this is something else", where);
    return { kind: "focus", item: marked, run: repeat, at: where };
  }

  function repeated() {
    const node = atom(), found = take("quantifier");
    if (!found) return node;
    const [text] = found;
    let [low, high] = { "?": [0, 1], "*": [0, null], "+": [1, null] }[text] ?? [];
    if (low === undefined) {
      const [first, last] = text.slice(1, -1).split(",");
      low = +first;
      high = last === undefined ? low : last.trim() ? +last : null;
    }
    if (high !== null && high < low) refuse(`${text} asks for at least ${low} and at most ${high}`, found.at);
    else if (Math.max(low, high ?? 0) > MAX_COUNT) refuse(`${text} counts beyond ${MAX_COUNT}`, found.at);
    else if (high === 0) refuse(`${text} repeats nothing`, found.at);
    else if (high === null && gaps(node).length)
      refuse("a repetition without an end inside another; give one of them an upper end, such as {0,8}", found.at);
    return { kind: "repeat", item: node, low, high, at: found.at };
  }

  function atom() {
    let found;
    if ((found = take("look"))) return { kind: "look", opening: found[0], item: closed(pattern(), ")") };
    if (sign("(")) return closed(pattern(), ")");
    if (sign("[")) return sign("]") ? one(TRUE) : one(closed(condition(), "]"));
    if (sign(".")) return one(TRUE);
    if (sign("^")) return { kind: "edge", end: false };
    if (sign("\\z")) return { kind: "edge", end: true };
    if (sign("$")) return reference().node;
    if ((found = take("string"))) {
      const text = unquoted(found);
      if (!text) refuse('"" is no text', found.at);
      return { kind: "literal", text, at: found.at };
    }
    if ((found = take("regex"))) return one(regexCondition(found));
    if ((found = take("word"))) {
      const body = found[0].replace(/['’-]/g, "\\$&");
      return one(test("regex", [translate(`\\s*${body}\\s*`, true), true], found.at));
    }
    return unreadable();
  }

  const closed = (node, bracket) => { need(sign(bracket)); return node; };

  function reference() {
    const found = need(take("name")), [name] = found, where = found.at - 1;
    if (!definitions.has(name)) {
      const known = [...definitions.keys()].map((each) => "$" + each).join(", ") || "none";
      refuse(`$${name} is not defined before this place; defined are: ${known}`, where);
    }
    return { node: definitions.get(name) ?? one(TRUE), name, where };
  }

  function condition() {
    const parts = [conjunction()];
    while (sign("|")) parts.push(conjunction());
    return join("any", parts, "parts");
  }

  function conjunction() {
    const parts = [negation()];
    while (sign("&")) parts.push(negation());
    return join("all", parts, "parts");
  }

  function negation() {
    if (sign("!")) return { kind: "not", part: negation() };
    if (sign("(")) return closed(condition(), ")");
    return basic();
  }

  function basic() {
    let found;
    if ((found = take("latent"))) {
      const comparison = take("comparison");
      if (!comparison) return test("latent", [found[0], ">", 0, false], found.at);
      const number = need(take("number"));
      return test("latent", [found[0], comparison[0], +number[0], sign("%")], found.at);
    }
    if (sign("$")) {
      const { node, name, where } = reference();
      if (!asCondition(node)) refuse(`$${name} is more than a choice of single tokens, so it cannot stand between [ and ]`, where);
      return asCondition(node) ?? TRUE;
    }
    if ((found = take("flag"))) return flag(found);
    return text() ?? unreadable();
  }

  function flag(found) {
    const [name] = found;
    if (name === "text" || name === "id") {
      const negated = need(take("is"))[0] === "!=";
      const asked = name === "text" ? text() ?? unreadable() : ((n) => test("id", [+n[0]], n.at))(need(take("int")));
      return negated ? { kind: "not", part: asked } : asked;
    }
    if (name === "pos") {
      const comparison = need(take("comparison"))[0], number = need(take("int"));
      return test("pos", [comparison, +number[0]], number.at);
    }
    if (Object.hasOwn(FLAGS, name)) return test("regex", [translate(FLAGS[name], false), false], found.at);
    if (!PLACE_FLAGS.includes(name)) {
      const known = [...Object.keys(FLAGS), ...PLACE_FLAGS].join(", ");
      refuse(`there is no test ${name}; there are ${known}; a text stands in quotes: "${name}"`, found.at);
    }
    return test(name, [], found.at);
  }

  function text() {
    let found;
    if ((found = take("string"))) return test("text", [unquoted(found)], found.at);
    if ((found = take("regex"))) return regexCondition(found);
    return null;
  }

  function regexCondition(found) {
    const [, body, i] = found;
    try {
      const translated = translate(body, i === "i");
      new RegExp(translated, "su");
      return test("regex", [translated, i === "i"], found.at);
    } catch (error) {
      if (error instanceof NotARegex) refuse(error.message, found.at + 1 + error.at);
      else refuse("this is no regular expression", found.at);
      return TRUE;
    }
  }

  function unquoted(found) {
    return found[0].slice(1, -1).replace(/\\(.)/gsu, (escape, char, offset) => {
      if (!'nrt"\\'.includes(char)) refuse(`${escape} means nothing in a text; there are \\" \\\\ \\n \\r \\t`, found.at + 1 + offset);
      return ESCAPES[char] ?? char;
    });
  }

  while (take("let")) definition();
  const tree = pattern();
  skip();
  if (place < query.length) unreadable();
  if (refused) throw refused;
  check(tree, query);
  return tree;
}

function unexpected(rest) {
  const [char] = rest;
  if (char === undefined) return "the pattern ends too early";
  if (char === '"' && !at(WORDS.string, rest, 0)) return "this quotation mark is never closed";
  if (char === "/" && !at(WORDS.regex, rest, 0)) return "this / is never closed; a slash as text stands in quotes";
  if (char === "=") return "unexpected =; a definition is let name = pattern; with small letters for the name";
  if ("()[]{}|&;?*+@$%!<>^".includes(char)) return `unexpected ${char}`;
  return `unexpected ${[...rest][0]}; text that is no word stands in quotes`;
}

const inside = (node) => node.items ?? node.options ?? (node.item ? [node.item] : []);

/** A node as a condition on one token, or null. */
function asCondition(node) {
  if (node.kind === "one") return node.condition;
  if (node.kind === "literal") return test("text", [node.text], node.at);
  if (node.kind !== "either") return null;
  const parts = node.options.map(asCondition);
  return parts.every(Boolean) ? { kind: "any", parts } : null;
}

function canBeEmpty(node) {
  if (node.kind === "edge" || node.kind === "look") return true;
  if (node.kind === "repeat") return node.low === 0 || canBeEmpty(node.item);
  if (node.kind === "either") return node.options.some(canBeEmpty);
  return node.kind === "chain" && node.items.every(canBeEmpty);
}

/** Where the repetitions without an upper end stand that one stretch can go through. */
function gaps(node) {
  if (node.kind === "repeat") {
    const inner = gaps(node.item);
    return node.high === null ? [...inner, node.at] : Array(Math.min(node.high, MAX_GAPS + 1)).fill(inner).flat();
  }
  if (node.kind === "either") return node.options.map(gaps).reduce((most, each) => (each.length > most.length ? each : most));
  if (node.kind === "focus" && node.run) return [node.at];
  return inside(node).flatMap(gaps);
}

function* focuses(node, reachable = true) {
  if (node.kind === "focus") yield [node, reachable];
  for (const part of inside(node)) yield* focuses(part, reachable && node.kind === "chain");
}

/** [before, focus, behind], or null without an @. */
function split(node) {
  const chain = (...items) => ({ kind: "chain", items });
  if (node.kind === "focus") return [chain(), node, chain()];
  for (const [k, item] of node.kind === "chain" ? node.items.entries() : []) {
    const found = split(item);
    if (found) return [chain(...node.items.slice(0, k), found[0]), found[1], chain(found[2], ...node.items.slice(k + 1))];
  }
  return null;
}

function check(tree, query) {
  if (canBeEmpty(tree)) throw new PatternError("this pattern can match without any token, so it would mark every place", query, 0);
  const stretching = gaps(tree), found = [...focuses(tree)];
  if (stretching.length > MAX_GAPS)
    throw new PatternError(`more than ${MAX_GAPS} repetitions without an upper end; give one an end, such as {0,8}`, query, stretching[MAX_GAPS]);
  if (found.length > 1) throw new PatternError("a second @: one place is marked", query, found[1][0].at);
  for (const [focus, reachable] of found)
    if (!reachable) throw new PatternError("@ cannot stand in a choice, a repetition or a lookaround", query, focus.at);
}

function* testsOf(part) {
  if (part.kind === "test") yield part;
  else for (const each of part.parts ?? (part.part ? [part.part] : part.condition ? [part.condition] : inside(part))) yield* testsOf(each);
}

/** The ids of the latents that a pattern asks about. */
export function latentsIn(query) {
  return [...new Set([...testsOf(parse(query))].filter((each) => each.name === "latent").map((each) => plainId(each.args[0])))];
}

/** "S/7" of "S/007". */
const plainId = (latent) => latent.replace(/\/0+(?=[0-9]+$)/, "/");

// ---- Text

/**
 * What can be asked about some texts; each answer is worked out once.
 * tokens: ids, text after text. start: where each text begins, and the end. vocab: the text of each id.
 * ids: what [id=…] calls each token, where that is another number than its place in vocab.
 * parts: [id, part, of, text] of each token that is one of several which make a letter together. They count as one token, at the place of
 * the last of them; `where` says which places those of all tokens are, and `every` has every token by itself.
 */
export function corpus({ tokens, start, vocab, ids = Array.from(vocab.keys()), parts = [] }) {
  const every = asked(tokens, start, vocab, ids, new Set());
  every.every = every;
  if (!parts.length) return every;
  const earlier = new Set(parts.flatMap(([id, part, of]) => (part < of ? [id] : [])));
  const letters = new Map(parts.map(([id, , , text]) => [id, text]));
  const where = Uint32Array.from(tokens.keys()).filter((place) => !earlier.has(tokens[place]));
  const whole = vocab.map((text, id) => letters.get(id) ?? text), begins = Array.from(start, (at) => lowerBound(where, at));
  return Object.assign(asked(tokens.filter((id) => !earlier.has(id)), begins, whole, ids, letters), { where, every });
}

function asked(tokens, start, vocab, ids, split) {
  const known = new Map();
  const once = (name, make) => known.get(name) ?? known.set(name, make()).get(name);
  const n = tokens.length;

  /** ask(token, place in its text, text) for every token, as 0 or 1 */
  function each(ask) {
    const out = new Uint8Array(n);
    for (let t = 0; t + 1 < start.length; t++) for (let p = start[t]; p < start[t + 1]; p++) out[p] = ask(tokens[p], p - start[t], t);
    return out;
  }

  const texts = {
    tokens, start, vocab, ids, n, each,
    seen: () => once("seen", () => {
      let before, text = -1;
      return each((token, _, t) => {
        if (t !== text) { before = new Set(); text = t; }
        return before.has(token) || !before.add(token);
      });
    }),
    quoted: () => once("quoted", () => {
      const count = (text) => text.split('"').length - 1;
      const marks = vocab.map(count), sinceNewline = vocab.map((text) => (text.includes("\n") ? count(text.slice(text.lastIndexOf("\n"))) : -1));
      let open = 0;
      return each((token, place) => {
        if (place === 0) open = 0;
        open = sinceNewline[token] >= 0 ? sinceNewline[token] : open + marks[token];
        return open % 2 && !marks[token];
      });
    }),
    /** All texts as one string with a character between two of them, and where each token begins and ends in it. */
    joined: () => once("joined", () => {
      const begins = new Uint32Array(n), ends = new Uint32Array(n), textOf = new Uint32Array(n), parts = [];
      let length = 0;
      for (let t = 0; t + 1 < start.length; t++) {
        let part = "";
        for (let p = start[t]; p < start[t + 1]; p++) {
          begins[p] = length + part.length;
          part += vocab[tokens[p]];
          ends[p] = length + part.length;
          textOf[p] = t;
        }
        parts.push(part);
        length += part.length + 1;
      }
      return { text: parts.join("\0"), begins, ends, textOf };
    }),
    /**
     * Where whole tokens have this text together: number of tokens → the places where such a stretch begins. A stretch with a letter that
     * several tokens share may begin behind the white space of its first token.
     */
    occurrences: (literal) => once(`literal ${literal}`, () => {
      const { text, begins, ends, textOf } = texts.joined(), found = new Map();
      for (let begin = text.indexOf(literal); begin >= 0; begin = text.indexOf(literal, begin + 1)) {
        const first = lowerBound(begins, begin + 1) - 1, last = lowerBound(ends, begin + literal.length);
        if (ends[last] !== begin + literal.length || textOf[first] !== textOf[last]) continue;
        const space = vocab[tokens[first]].match(/^\p{White_Space}*/u)[0].length;
        if (begins[first] !== begin && !(begins[first] + space === begin && tokens.slice(first, last + 1).some((id) => split.has(id)))) continue;
        const length = last - first + 1;
        if (!found.has(length)) found.set(length, []);
        found.get(length).push(first);
      }
      return found;
    }),
  };
  return texts;
}

/** The first place in an ascending array whose value is not below `least`. */
function lowerBound(ascending, least) {
  let low = 0, high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

// ---- Matching

/**
 * The tokens that a pattern marks, as a Uint8Array of 0 and 1.
 * texts: of corpus(). latents: id → { positions (places in tokens, ascending), values, max }, for those of latentsIn(query).
 */
export function match(query, given, latents = {}) {
  const asked = parse(query), texts = asksForText(asked) ? given : given.every;
  const tree = placed(asked, texts, query);
  const byKey = new Map();
  for (const each of testsOf(tree)) if (!byKey.has(each.key)) byKey.set(each.key, each);
  const tests = [...byKey.values()];
  if (tests.length > MAX_TESTS) {
    const reason = `more than ${MAX_TESTS} different tests; one /regular expression/ can stand for many`;
    throw new PatternError(reason, query, tests[MAX_TESTS].at);
  }
  const { signatures, code } = signaturesOf(tests, texts, latents, query);
  if (signatures.length > MAX_SIGNATURES)
    throw new PatternError(`more than ${MAX_SIGNATURES.toLocaleString("en")} groups of tokens to keep apart; use fewer tests`, query, 0);
  const number = new Map(tests.map((each, k) => [each.key, k]));
  const passes = (condition, signature) => {
    if (condition.kind === "test") return (signature >> number.get(condition.key)) & 1;
    if (condition.kind === "not") return !passes(condition.part, signature);
    if (condition.kind === "all") return condition.parts.every((part) => passes(part, signature));
    return condition.parts.some((part) => passes(part, signature));
  };

  const marked = new Uint8Array(texts.n), single = asCondition(tree);
  if (single) { // a single token needs no search
    const pass = signatures.map((signature) => (passes(single, signature) ? 1 : 0));
    for (let p = 0; p < texts.n; p++) marked[p] = pass[code[p]];
    return spread(marked, texts);
  }
  const { text, placeOf } = encoded(code, texts.start);
  for (const run of text.matchAll(expression(tree, (condition) => characterClass(signatures.map((s) => passes(condition, s))))))
    for (let c = run.index; c < run.index + run[0].length; c++) marked[placeOf[c]] = 1;
  return spread(marked, texts);
}

/** Marks on all tokens, of those on tokens whose letters are whole. */
function spread(marked, { where, every }) {
  if (!where) return marked;
  const out = new Uint8Array(every.n);
  marked.forEach((mark, k) => { out[where[k]] = mark; });
  return out;
}

/** Whether a pattern asks for more than what is known of each token by itself: which latents fire on it, and its id. */
function asksForText(tree) {
  const condition = asCondition(tree);
  return !condition || [...testsOf(condition)].some(({ name }) => name !== "latent" && name !== "id");
}

/** The tree with each literal replaced by the stretches of tokens that have its text here. */
function placed(node, texts, query) {
  if (node.kind === "literal") {
    const options = [...texts.occurrences(node.text).keys()].sort((a, b) => a - b).map((n) => {
      const begin = one(test("literal", [node.text, n], node.at));
      return n === 1 ? begin : { kind: "chain", items: [begin, { kind: "repeat", item: one(TRUE), low: n - 1, high: n - 1 }] };
    });
    return options.length ? { kind: "either", options } : one(FALSE);
  }
  if (node.kind === "focus") {
    for (const part of [node.item, ...inside(node.item)])
      if (part.kind === "literal" && Math.min(...texts.occurrences(part.text).keys(), Infinity) > 1 && texts.occurrences(part.text).size)
        throw new PatternError("@ marks one token, and here this text is always more", query, part.at);
    return { ...node, item: one(asCondition(node.item)) };
  }
  if (node.items) return { ...node, items: node.items.map((item) => placed(item, texts, query)) };
  if (node.options) return { ...node, options: node.options.map((option) => placed(option, texts, query)) };
  return node.item ? { ...node, item: placed(node.item, texts, query) } : node;
}

/** Bit k of a signature: the token passes test k. `code` says which signature each token has. */
function signaturesOf(tests, texts, latents, query) {
  const ofKind = new Uint32Array(texts.vocab.length), inPlace = [];
  tests.forEach((each, k) => {
    const ask = byItself(each, texts);
    if (ask) for (let v = 0; v < ofKind.length; v++) ofKind[v] |= ask(v) << k;
    else inPlace.push([passesInPlace(each, texts, latents, query), k]);
  });
  const known = new Map(), code = new Uint32Array(texts.n);
  for (let p = 0; p < texts.n; p++) {
    let signature = ofKind[texts.tokens[p]];
    for (const [passing, k] of inPlace) signature |= passing[p] << k;
    let number = known.get(signature);
    if (number === undefined) known.set(signature, (number = known.size));
    code[p] = number;
  }
  return { signatures: [...known.keys()], code };
}

/** A question to a kind of token, or null where the answer depends on its place. */
function byItself({ name, args }, { vocab, ids }) {
  if (name === "id") return (v) => ids[v] === args[0];
  if (name === "text") return (v) => vocab[v] === args[0];
  if (name !== "regex") return null;
  const whole = new RegExp(`^(?:${args[0]})$`, "su");
  return (v) => whole.test(args[1] ? fold(vocab[v]) : vocab[v]);
}

const COMPARE = { ">": (a, b) => a > b, ">=": (a, b) => a >= b, "<": (a, b) => a < b, "<=": (a, b) => a <= b, "=": (a, b) => a === b };

function passesInPlace({ name, args, at: where }, texts, latents, query) {
  if (name === "quoted") return texts.quoted();
  if (name === "seen") return texts.seen();
  if (name === "first") return texts.each((_, place) => place === 0);
  if (name === "pos") return texts.each((_, place) => COMPARE[args[0]](place, args[1]));
  if (name === "literal") {
    const passing = new Uint8Array(texts.n);
    for (const p of texts.occurrences(args[0]).get(args[1])) passing[p] = 1;
    return passing;
  }
  const passing = new Uint8Array(texts.every.n);
  const [written, comparison, value, percent] = args, id = plainId(written);
  if (!Object.hasOwn(latents, id)) throw new PatternError(`there is no latent ${written} here`, query, where);
  const { positions, values, max } = latents[id], threshold = percent ? (value / 100) * max : value, compare = COMPARE[comparison];
  if (!comparison.startsWith(">") && compare(0, threshold)) passing.fill(1); // silence is above nothing, not even a latent that never fires
  positions.forEach((p, k) => { passing[p] = compare(values[k], threshold) ? 1 : 0; });
  return texts.where ? Uint8Array.from(texts.where, (p) => passing[p]) : passing;
}

/** The texts as characters: a token is its code and 1, the separator before, between and behind texts is 0. */
function encoded(code, start) {
  const units = new Uint16Array(code.length + start.length), placeOf = new Uint32Array(units.length);
  let at = 0;
  for (let t = 0; t + 1 < start.length; t++) {
    at++;
    for (let p = start[t]; p < start[t + 1]; p++, at++) {
      units[at] = code[p] + 1;
      placeOf[at] = p;
    }
  }
  return { text: new TextDecoder("utf-16le").decode(units), placeOf };
}

/** Matches the runs of marked tokens. */
function expression(tree, characters) {
  const write = (node) => {
    if (node.kind === "one") return characters(node.condition);
    if (node.kind === "edge") return node.end ? "(?=\\x00)" : "(?<=\\x00)";
    if (node.kind === "chain") return node.items.map(write).join("");
    if (node.kind === "either") return `(?:${node.options.map(write).join("|")})`;
    if (node.kind === "look") return `${node.opening}${write(node.item)})`;
    return `(?:${write(node.item)}){${node.low},${node.high ?? ""}}`;
  };
  const parts = split(tree);
  if (!parts) return new RegExp(`(?:${ANY}(?<=${write(tree)}))+`, "g");
  const [before, focus, behind] = parts, token = write(focus.item), more = focus.run ? `${token}*` : "";
  return new RegExp(`(?:(?<=${write(before)}${more})(?=${token}${more}${write(behind)})${ANY})+`, "g");
}

/** The characters of the signatures that pass. */
function characterClass(passing) {
  const written = passing.map((pass, code) => (pass ? "\\u" + (code + 1).toString(16).padStart(4, "0") : "")).join("");
  return passing.every(Boolean) ? ANY : written ? `[${written}]` : "(?!)";
}

// ---- In a worker

/**
 * A matcher in a worker of its own, so that the page stays alive. `source` is the text of this file.
 * A query that takes longer than `seconds` is ended with an error; the next one gets a new worker.
 */
export function matcher(source, { tokens, start, vocab, ids, parts }, seconds = 5) {
  const script = source.replace(/^export\s/gm, ""); // under file: a browser starts no module worker, only a classic one
  const address = URL.createObjectURL(new Blob([script, "\nanswer(self);"], { type: "text/javascript" }));
  const waiting = new Map();
  let worker = null, asked = 0;

  function begin() {
    worker = new Worker(address);
    worker.postMessage({ tokens, start, vocab, ids, parts });
    worker.onmessage = ({ data: { id, begun, marked, error } }) => {
      const one = waiting.get(id);
      if (begun) { // the clock is for the matching: on a busy machine the worker may take as long to start
        one.timer = setTimeout(stop, seconds * 1000);
        return;
      }
      const { resolve, reject, timer } = one;
      waiting.delete(id);
      clearTimeout(timer);
      if (marked) resolve(marked);
      else reject(Object.assign(new Error(error.message), error));
    };
    worker.onerror = (event) => end(event.message || "the worker could not start");
  }

  function end(reason) {
    worker?.terminate();
    worker = null;
    for (const { reject, timer } of waiting.values()) {
      clearTimeout(timer);
      reject(new Error(reason));
    }
    waiting.clear();
  }

  function stop() {
    const advice = "give its repetitions an upper end, such as {0,8} for *, or split it into two patterns";
    end(`stopped after ${seconds} s: this pattern can match in too many ways; ${advice}`);
  }

  return {
    match(query, latents = {}) {
      if (!worker) begin();
      const id = ++asked;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        worker.postMessage({ id, query, latents });
      });
    },
    /** Gives up what is still being matched. */
    drop() {
      if (waiting.size) end("another pattern was asked for");
    },
    close() {
      end("closed");
      URL.revokeObjectURL(address);
    },
  };
}

/** The worker's side: first the texts, then queries. */
export function answer(scope) {
  let texts;
  scope.onmessage = ({ data }) => {
    if (!data.id) {
      texts = corpus(data);
      return;
    }
    scope.postMessage({ id: data.id, begun: true });
    try {
      const marked = match(data.query, texts, data.latents);
      scope.postMessage({ id: data.id, marked }, [marked.buffer]);
    } catch ({ name, message, reason, line, column }) {
      scope.postMessage({ id: data.id, error: { name, message, reason, line, column } });
    }
  };
}
