/**
 * Steps of a tokenizer.json (normalizer, pre-tokenizer, decoder, post-processor), measured before anything is built
 * from them: number, nesting, growth of text, cost of patterns.
 */
import { type Budgets, requireBudget } from "../../../budgets.js";
import { type PatternClock, requireBoundedPattern } from "./bounded-pattern.js";
import { malformed, record } from "../fields.js";
import { shown } from "../../../shown.js";

const SECTIONS = ["normalizer", "pre_tokenizer", "decoder", "post_processor"] as const;
/** Fields of further steps. */
const INNER = ["normalizers", "pretokenizers", "decoders", "processors"] as const;
const DEEPEST = 8;
/** Texts put into what is encoded or decoded. */
const INSERTED = ["content", "prepend", "replacement"] as const;

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
