/** Rows of states in parts of a few tens of milliseconds, so that the event loop gets its turns. */
import type { CancelSignal } from "../../cancel-signal.js";
import type { Tensor } from "../../tensor/index.js";
import { sliceRows } from "../../tensor/ops/select.js";
import { giveTurn, rowsPerTurn } from "../../turns.js";

export interface PartsOptions {
  /** Per row. */
  readonly multiplyAdds: number;
  /** Rows of a part at most. @default Infinity */
  readonly most?: number;
  readonly signal?: CancelSignal | undefined;
}

/** Calls `use` with the states [R, C] from row `begin` on, part [r, C] after part, and frees each. */
export async function byParts<Result>(
  states: Tensor,
  { multiplyAdds, most = Infinity, signal }: PartsOptions,
  use: (part: Tensor, begin: number) => Promise<Result>,
): Promise<Result[]> {
  const rows = states.shape[0]!;
  const step = Math.max(1, Math.min(most, rowsPerTurn(multiplyAdds)));
  const results: Result[] = [];
  for (let begin = 0; begin < rows; begin += step) {
    await giveTurn(signal);
    const part = sliceRows(states, begin, Math.min(rows, begin + step));
    try {
      results.push(await use(part, begin));
    } finally {
      part.dispose();
    }
  }
  return results;
}
