/**
 * JSON from others' files. `JSON.parse` builds whatever it is given: two bytes of text can become sixty of memory, and
 * lists nested 100,000 deep break whoever walks them. So keys, values and depth are first counted against budgets.
 */
import { type Budgets, overBudget, requireBudget } from "../../budgets.js";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;

/** Throws a BudgetError that names the first limit exceeded. Malformed text is left to `JSON.parse`. */
export function requireBoundedJson(text: string, where: string, budgets: Budgets): void {
  let keys = 0;
  let values = 0;
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (code === COMMA) values++;
    else if (code === COLON) keys++;
    else if ((code | 0x20) === 0x7b) {
      // an opening bracket or brace: they differ by this bit
      values++;
      deepest = Math.max(deepest, ++depth);
    } else if ((code | 0x20) === 0x7d) depth--;
    if (deepest > budgets.jsonDepth) {
      throw overBudget(budgets, "jsonDepth", deepest, `${where}: lists and objects inside each other`);
    }
  }
  requireBudget(budgets, "jsonKeys", keys, `${where}: keys of objects`);
  requireBudget(budgets, "jsonValues", values, `${where}: values in lists and objects`);
}

/** The end of the text if the string is not closed. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}
