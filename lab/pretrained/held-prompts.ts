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

/** A group as certificates name it. */
function hashOf(group: string): string {
  return createHash("sha256").update(group).digest("hex");
}
