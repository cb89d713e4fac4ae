/**
 * Steps of a tokenizer.json (normalizer, pre-tokenizer, decoder, post-processor), measured before anything is built
 * from them: number, nesting, growth of text, cost of patterns.
 */
import { type Budgets, overBudget, requireBudget } from "../../../budgets.js";
import { shown } from "../../../shown.js";
import { malformed, record, unsupported } from "../fields.js";

const SECTIONS = ["normalizer", "pre_tokenizer", "decoder", "post_processor"] as const;
/** Fields of further steps. */
const INNER = ["normalizers", "pretokenizers", "decoders", "processors"] as const;
const DEEPEST = 8;
/** Texts put into what is encoded or decoded. */
const INSERTED = ["content", "prepend", "replacement"] as const;

// A tokenizer.json's patterns run in the engine's matcher, which backtracks and cannot be interrupted: (a+)+$ takes 2^n
// steps for n characters. Here two steps that cannot hang refuse patterns unless they are cheap.
//   bound   Repeats inside repeats are refused. Then the ways to match n equal characters are at most the product of
//           the ranges of the quantifiers that take this character, one after another (alternatives: the largest).
//   probe   What remains is polynomial, of low degree, so it may be timed: on texts of 64, 128, … 4,096 characters, up
//           to the first length at which the time exceeds its share of the budget.
// Left out: texts that alternate between characters; the bound holds for them too, the probe does not try them.

/** Milliseconds of one tokenizer's patterns so far. */
interface PatternClock {
  spent: number;
}

/** Throws a TokenError or a BudgetError if matching may take long. */
function requireBoundedPattern(pattern: string, where: string, budgets: Budgets, clock: PatternClock): void {
  requireBudget(budgets, "patternLength", pattern.length, `${where}: characters`);
  if (budgets.patternMilliseconds === Infinity) return;
  const reader = new PatternReader(pattern, where);
  const bits = reader.read();
  if (Math.max(...bits) > MOST_BITS) {
    throw refused(where, pattern, "quantifiers of which many can take the same character");
  }
  const expression = compile(pattern);
  if (expression === undefined) return; // the encoder says what is wrong with it, or rewrites it
  const characters = reader.alike(SAMPLE.filter((_, i) => bits[i]! >= UNBOUNDED));
  const left = budgets.patternMilliseconds - clock.spent;
  let time = timeOfPattern(expression, characters, left);
  // Other processes' time is no property of the pattern.
  for (let again = 0; again < 2 && time > left; again++) {
    time = Math.min(time, timeOfPattern(expression, characters, left));
  }
  clock.spent += time;
  const what = `${where}: milliseconds of the pattern ${shown(pattern)} for ${PROBE} characters`;
  if (time > left) throw overBudget(budgets, "patternMilliseconds", Math.ceil(clock.spent), what);
}

/** Milliseconds for runs of these characters, up to the first that exceeds the budget. */
function timeOfPattern(expression: RegExp, characters: readonly string[], budget: number): number {
  let time = 0;
  for (const character of characters) {
    for (const end of ENDS) time += timePerText(expression, character, end, budget);
    if (time > budget) break;
  }
  return time;
}

/** Characters of many kinds, by which overlaps of classes are judged. */
const SAMPLE: readonly string[] = [
  ...Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)),
  ...Array.from(
    "\u00a0\u0085\u2028\u2029\u3000éÉßñçάΩжЯאبाे่กあア漢字한ʰªᵃǅ٣४Ⅷ½²€£¿«»—“”…·▁😀👍\u200d\ufe0f\u00ad\ufeff\ufffd",
  ),
];
const PROBE = 4096;
const SHORTEST_PROBE = 64;
/** log2 of an unbounded quantifier's lengths in a probe. */
const UNBOUNDED = Math.log2(PROBE);
/** Two unbounded quantifiers of the same character, and a few optional ones. */
const MOST_BITS = 2 * UNBOUNDED + 5;
/** Ends of runs: something that most patterns do not take, and a space. */
const ENDS = ["\0", " "] as const;
const MOST_REPEATS = 256;

/** Bounds by the sample's characters: log2 of the ways to match a run. */
type Bits = Float64Array;

interface Piece {
  readonly bits: Bits;
  /** Characters that it takes, by the sample. */
  readonly takes: Uint8Array;
  /** More than one way to match. */
  readonly varies: boolean;
}

/** Bounds a pattern's work, from left to right. */
class PatternReader {
  #at = 0;
  /** Of every class, escape and character. */
  readonly #taken: Uint8Array[] = [];
  constructor(
    readonly pattern: string,
    readonly where: string,
  ) {}

  read(): Bits {
    const { bits } = this.#alternatives(0);
    if (this.#at < this.pattern.length) throw refused(this.where, this.pattern, "an unmatched parenthesis");
    return bits;
  }

  /** One of all characters that the same parts of the pattern take. */
  alike(characters: readonly string[]): string[] {
    const kinds = new Map<string, string>();
    for (const character of characters) {
      const i = SAMPLE.indexOf(character);
      const kind = this.#taken.map((takes) => takes[i]).join("");
      if (!kinds.has(kind)) kinds.set(kind, character);
    }
    return [...kinds.values()];
  }

  #alternatives(depth: number): Piece {
    if (depth > 16) throw refused(this.where, this.pattern, "groups more than 16 deep");
    const bits = noBits();
    const takes = new Uint8Array(SAMPLE.length);
    let varies = false;
    for (let count = 1; ; count++) {
      const one = this.#sequence(depth);
      for (let i = 0; i < bits.length; i++) {
        bits[i] = Math.max(bits[i]!, one.bits[i]!);
        takes[i] = takes[i]! | one.takes[i]!;
      }
      varies ||= one.varies || count > 1;
      if (this.pattern[this.#at] !== "|") return { bits, takes, varies };
      this.#at++;
    }
  }

  #sequence(depth: number): Piece {
    const bits = noBits();
    const takes = new Uint8Array(SAMPLE.length);
    let varies = false;
    while (this.#at < this.pattern.length && !"|)".includes(this.pattern[this.#at]!)) {
      const atom = this.#atom(depth);
      const { min, max } = this.#quantifier();
      const range = Math.min(max, PROBE) - Math.min(min, PROBE) + 1;
      if (max > 1 && atom.varies) throw refused(this.where, this.pattern, "a repeat inside a repeat");
      if (min > MOST_REPEATS || (max !== Infinity && max > MOST_REPEATS)) {
        throw refused(this.where, this.pattern, `a repeat of more than ${MOST_REPEATS}`);
      }
      varies ||= atom.varies || range > 1;
      for (let i = 0; i < bits.length; i++) {
        bits[i] = bits[i]! + atom.bits[i]! + (atom.takes[i] ? Math.log2(range) : 0);
        takes[i] = takes[i]! | atom.takes[i]!;
      }
    }
    return { bits, takes, varies };
  }

  #atom(depth: number): Piece {
    const start = this.#at;
    const character = this.pattern[this.#at]!;
    if (character === "(") return this.#group(depth);
    if (character === "[") this.#skipClass();
    else if (character === "\\") this.#skipEscape();
    else this.#at += this.pattern.codePointAt(this.#at)! > 0xffff ? 2 : 1;
    const piece = characterPiece(this.pattern.slice(start, this.#at));
    this.#taken.push(piece.takes);
    return piece;
  }

  #group(depth: number): Piece {
    const opening = /^\((?:\?(?:[:=!>|]|<[=!]|<\w+>|P<\w+>|[a-z-]*[:)]))?/.exec(
      this.pattern.slice(this.#at, this.#at + 80),
    )!;
    this.#at += opening[0].length;
    if (opening[0].endsWith(")")) return { bits: noBits(), takes: new Uint8Array(SAMPLE.length), varies: false };
    const inner = this.#alternatives(depth + 1);
    if (this.pattern[this.#at] !== ")") throw refused(this.where, this.pattern, "an open group");
    this.#at++;
    return inner;
  }

  /** Classes may hold classes: [\p{L}&&[^\p{Han}]]. */
  #skipClass(): void {
    let open = 0;
    do {
      const character = this.pattern[this.#at];
      if (character === undefined) throw refused(this.where, this.pattern, "an open character class");
      if (character === "\\") this.#at++;
      else if (character === "[") open++;
      else if (character === "]") open--;
      this.#at++;
    } while (open > 0);
  }

  #skipEscape(): void {
    const escape = /^\\(?:[pPxu]\{[^}]*\}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)/su.exec(
      this.pattern.slice(this.#at, this.#at + 80),
    );
    if (escape === null || /^\\[1-9kg]/.test(escape[0])) {
      throw refused(this.where, this.pattern, "a reference to what a group matched, or an open escape");
    }
    this.#at += escape[0].length;
  }

  #quantifier(): { readonly min: number; readonly max: number } {
    const found = /^(?:([*+?])|\{(\d*)(,?)(\d*)\})[?+]?/.exec(this.pattern.slice(this.#at, this.#at + 40));
    const [whole, sign, low, comma, high] = found ?? [];
    if (whole === undefined || (sign === undefined && low === "" && high === "")) return { min: 1, max: 1 };
    this.#at += whole.length;
    if (sign !== undefined) return { min: sign === "+" ? 1 : 0, max: sign === "?" ? 1 : Infinity };
    const min = Number(low);
    return { min, max: comma === "" ? min : high === "" ? Infinity : Number(high) };
  }
}

const noBits = (): Bits => new Float64Array(SAMPLE.length);

/** A class, escape or character; what cannot be compiled alone may take any character. */
function characterPiece(source: string): Piece {
  const expression = compile(`^(?:${source})$`, "is");
  const takes = Uint8Array.from(SAMPLE, (character) => Number(expression?.test(character) ?? true));
  return { bits: noBits(), takes, varies: false };
}

/** Compiles as nearly as the encoder as possible; undefined for unknown syntax. */
function compile(source: string, flags = ""): RegExp | undefined {
  const plainer = source
    .replace(/\(\?i:/g, "(?:")
    .replace(/\(\?>/g, "(?:")
    .replace(/([*+?}])\+/g, "$1");
  for (const text of [source, plainer]) {
    for (const mode of ["u", "v"]) {
      try {
        return new RegExp(text, mode + flags);
      } catch {
        // the next spelling
      }
    }
  }
  return undefined;
}

/** Milliseconds for 4,096 characters; more where fewer already exceed their share. */
function timePerText(expression: RegExp, character: string, end: string, budget: number): number {
  const global = new RegExp(expression.source, `${expression.flags}g`);
  let time = 0;
  for (let length = SHORTEST_PROBE; length <= PROBE; length *= 2) {
    const text = character.repeat(length) + end;
    const share = PROBE / length;
    time = timed(global, text);
    // Other processes' time is no property of the pattern.
    for (let again = 0; again < 2 && time * share > budget; again++) time = Math.min(time, timed(global, text));
    if (time * share > budget) return time * share;
  }
  return time;
}

function timed(expression: RegExp, text: string): number {
  const start = performance.now();
  text.replace(expression, "");
  return performance.now() - start;
}

function refused(where: string, pattern: string, found: string): Error {
  return unsupported(
    where,
    `${found} in the pattern ${shown(pattern)}`,
    "a pattern whose work grows in proportion to the text; if you trust the file, switch this off with the option " +
      "budgets: { patternMilliseconds: Infinity }",
  );
}

/** Throws a BudgetError or a TokenError that names the section and limit. */
export function requireBoundedSections(file: Readonly<Record<string, unknown>>, budgets: Budgets): void {
  const clock: PatternClock = { spent: 0 };
  for (const section of SECTIONS) {
    const steps = stepsOf(section, file[section] ?? null, budgets);
    let growth = 1;
    for (const [i, step] of steps.entries()) growth *= growthOf(step, `${section} step ${i + 1}`, budgets, clock);
    requireBudget(budgets, "textGrowth", growth, `${section}: times that a text may grow`);
  }
  const added = Array.isArray(file["added_tokens"]) ? file["added_tokens"] : [];
  const characters = added.reduce((sum: number, token: unknown) => sum + contentLength(token), 0);
  requireBudget(budgets, "addedCharacters", characters, "added_tokens: characters of all");
}

function contentLength(token: unknown): number {
  const content = typeof token === "object" && token !== null && "content" in token ? token.content : "";
  return typeof content === "string" ? content.length : 0;
}

type Step = Readonly<Record<string, unknown>>;

/** Steps, nested ones included, one after another. */
function stepsOf(section: string, value: unknown, budgets: Budgets): Step[] {
  const steps: Step[] = [];
  const visit = (entry: unknown, depth: number): void => {
    if (entry === null) return;
    const step = record(section, entry);
    if (depth > DEEPEST) throw malformed(section, `steps more than ${DEEPEST} deep`, "a list of steps");
    steps.push(step);
    requireBudget(budgets, "tokenizerSteps", steps.length, `${section}: steps`);
    for (const key of INNER) {
      const inner = step[key];
      if (!Array.isArray(inner)) continue;
      requireBudget(budgets, "tokenizerSteps", inner.length, `${section}.${key}: steps`);
      for (const each of inner) visit(each, depth + 1);
    }
  };
  visit(value, 0);
  return steps;
}

/** Factor by which a step may lengthen a text; its texts and patterns are checked too. */
function growthOf(step: Step, where: string, budgets: Budgets, clock: PatternClock): number {
  for (const key of INSERTED) {
    const inserted = step[key];
    if (typeof inserted === "string") {
      requireBudget(budgets, "patternLength", inserted.length, `${where}: characters of "${key}"`);
    }
  }
  const pattern = step["pattern"];
  const needed = step["type"] === "Split" || step["type"] === "Replace";
  if (!needed && (pattern === undefined || pattern === null)) return 1;
  const { String: text, Regex: expression } = record(`${where}.pattern`, pattern);
  if (typeof expression === "string") requireBoundedPattern(expression, where, budgets, clock);
  else if (typeof text !== "string" || text === "") {
    throw malformed(`${where}.pattern`, shown(pattern), "{ String } or { Regex }, not empty");
  } else requireBudget(budgets, "patternLength", text.length, `${where}: characters of its pattern`);
  const content = step["content"];
  if (step["type"] !== "Replace" || typeof content !== "string") return 1;
  // A pattern may match between all characters, a text only where it occurs.
  return typeof text === "string" ? Math.max(1, content.length / text.length) : content.length + 1;
}
