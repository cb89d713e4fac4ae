/** Section 4: the same prompt continued through exits, and losslessly beside plain greedy decoding. */
import type { Policy } from "early-exits";
import { continuePrompt, type Demo, type DemoText, samplingOf } from "./demo.js";
import type { DemoHeads } from "./heads-section.js";

export interface TextsSection {
  /** Sampled, through exits. */
  readonly exits: DemoText;
  /** Greedy: exits draft, the full model verifies. */
  readonly lossless: DemoText;
  readonly identical: boolean;
}

export async function writeTexts(demo: Demo, { used: heads }: DemoHeads, policy: Policy): Promise<TextsSection> {
  const exits = await continuePrompt(demo, heads, { ...samplingOf(demo), policy, allowUncertified: true });
  const plain = await continuePrompt(demo, demo.model, {});
  const lossless = await continuePrompt(demo, heads, { policy, lossless: true });
  return { exits, lossless, identical: lossless.summary.text === plain.summary.text };
}
