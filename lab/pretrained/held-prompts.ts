/**
 * Prompts with which nothing was taught or certified. What taught the heads is known from the split alone; what
 * certified the policies is listed in their certificates, by the hashes of groups, and is checked.
 */
import { createHash } from "node:crypto";
import type { Certificate, Tokenizer } from "early-exits";
import { type ChatPrompt, chatPrompts, knownConversations, type PromptSplit } from "./prompts.js";

/** The held-out prompts. Throws an Error if one of them is in a certificate. */
export async function heldPrompts(
  fixtures: string,
  tokenizer: Tokenizer,
  certificates: readonly Pick<Certificate, "documents">[],
): Promise<ChatPrompt[]> {
  const held = await promptsOf("held", fixtures, tokenizer);
  requireUncertified(held, certificates);
  return held;
}

async function promptsOf(wanted: PromptSplit, fixtures: string, tokenizer: Tokenizer): Promise<ChatPrompt[]> {
  const all = await chatPrompts(fixtures, await knownConversations(fixtures, tokenizer));
  return all.filter(({ split }) => split === wanted);
}

/** Throws an Error if a prompt's group is that of a document in a certificate. */
export function requireUncertified(
  prompts: readonly Pick<ChatPrompt, "group">[],
  certificates: readonly Pick<Certificate, "documents">[],
): void {
  const certified = new Set(certificates.flatMap(({ documents }) => documents.map(({ group }) => group)));
  const found = prompts.filter(({ group }) => certified.has(hashOf(group)));
  if (found.length === 0) return;
  throw new Error(
    `${found.length} of ${prompts.length} held-out prompts are in a certificate, the first with group ` +
      `${found[0]!.group}: the prompts are split in another way than when the certificates were made`,
  );
}

/** Factor by which the training prompts count as asked past their estimated end. */
const MARGIN = 1.1;

/**
 * The held-out prompts, and the training prompts that were never asked. Answers are written in the order of the prompts
 * until a run is stopped; `taught` is the number of tokens of one answer to each. Where they end is estimated from the
 * mean lengths of answers of each kind in a certificate, with a tenth to spare.
 */
export function unusedPrompts(
  prompts: readonly ChatPrompt[],
  { documents }: Pick<Certificate, "documents">,
  taught: number,
): ChatPrompt[] {
  const lengths = new Map(documents.map(({ group, tokens }) => [group, tokens]));
  const known = new Map<string, number[]>();
  for (const { kind, group } of prompts) {
    const length = lengths.get(hashOf(group));
    if (length !== undefined) known.set(kind, [...(known.get(kind) ?? []), length]);
  }
  const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const overall = meanOf([...known.values()].flat());
  let tokens = 0;
  return prompts.filter(({ kind, split }) => {
    if (split === "held") return true;
    if (split !== "train") return false;
    const before = tokens;
    tokens += meanOf(known.get(kind) ?? [overall]);
    return before > MARGIN * taught;
  });
}

/** A group as certificates name it. */
function hashOf(group: string): string {
  return createHash("sha256").update(group).digest("hex");
}
