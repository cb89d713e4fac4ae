/**
 * What no threshold can escape (arXiv 2606.29054). If all tokens left at an exit, a share mu of them would differ from
 * the full model's. A policy with that exit alone keeps a risk of alpha only if
 *   overall      at least mu - alpha of the tokens stay
 *   selective    at least (mu - alpha) / (1 - alpha) of them stay
 * even if its score were perfect, because every token that stays removes at most one that differs.
 */
import { lossesIn, type TokenTable } from "../procedures/index.js";

export interface ExitFeasibility {
  /** mu: the mean over documents of the share of tokens on which the exit differs from the full model. */
  readonly baseRisk: number;
  /** The least share of tokens that must stay, whatever the score. */
  readonly mustStay: number;
}

/** Per exit, shallow to deep; `epsilon` is alpha, the risk that the claim allows. */
export function feasibilityOf(
  table: Pick<TokenTable, "documents" | "starts" | "agrees" | "losses">,
  { epsilon, selective }: { readonly epsilon: number; readonly selective: boolean },
): ExitFeasibility[] {
  const { documents, starts } = table;
  const { lossScale, exits } = lossesIn(table);
  return exits.map((column) => {
    let baseRisk = 0;
    for (let d = 0; d < documents; d++) {
      const own = column.subarray(starts[d], starts[d + 1]);
      let wrong = 0;
      for (const loss of own) wrong += loss;
      baseRisk += wrong / lossScale / own.length / documents;
    }
    const excess = Math.max(0, baseRisk - epsilon);
    return { baseRisk, mustStay: selective ? excess / (1 - epsilon) : excess };
  });
}
