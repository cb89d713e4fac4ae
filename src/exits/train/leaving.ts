/** Who leaves at an exit, where keys and values are learned for those that do. */
import { type ExitHeads, exitFires, scoreAt } from "../heads/index.js";
import type { Policy } from "../plan/index.js";
import { byParts } from "../states/index.js";
import { scope, type Tensor } from "../../tensor/index.js";

/** Whether each of the states [R, C] at an exit would leave there by the policy. The heads must be packed. */
export async function leaveAt(
  { heads }: ExitHeads,
  { exits, score }: Policy,
  exit: number,
  states: Tensor,
): Promise<boolean[]> {
  const head = heads[exit]!;
  const { threshold } = exits[exit]!;
  const { vocabSize, hiddenSize } = head.model.config;
  const parts = await byParts(states, { multiplyAdds: vocabSize * hiddenSize }, async (part) => {
    const logits = scope(() => head.logits(part));
    const outputs = { stats: await head.readStats(logits), gates: await head.gate?.read(part) };
    logits.dispose();
    return Array.from({ length: part.shape[0]! }, (_, r) => exitFires(scoreAt(outputs, r, score), threshold, score));
  });
  return parts.flat();
}
