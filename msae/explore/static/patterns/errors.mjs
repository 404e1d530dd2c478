/** @file What is wrong with a pattern, and where in its text. */

export class PatternError extends Error {
  /**
   * Its `line` and `column` count characters, from 1.
   *
   * @param {string} reason
   * @param {string} query
   * @param {number} position UTF-16 units from the start of the query
   */
  constructor(reason, query, position) {
    const before = query.slice(0, position).split("\n");
    const line = before.length, column = [...before[line - 1]].length + 1;
    const shown = query.split("\n")[line - 1].replaceAll("\t", " ");
    const where = query.includes("\n") ? `line ${line}, column ${column}` : `column ${column}`;
    super(`${reason} (${where})\n  ${shown}\n  ${" ".repeat(column - 1)}^`);
    this.name = "PatternError";
    this.reason = reason;
    this.line = line;
    this.column = column;
  }
}
