/** Conformal risk control: the running maximum of losses, and which candidates it accepts. */
import { describe, expect, it } from "vitest";
import { conformalRiskControl } from "../../../src/calibrate/procedures/conformal-risk-control.js";
import { lossMatrix } from "./small-tables.js";

describe("conformalRiskControl", () => {
  it("replaces each unit's loss by its running maximum", () => {
    const { accepted, worstSoFar } = conformalRiskControl(
      lossMatrix([[0.2, 0, 0.1], [0, 0.3, 0], ...Array.from({ length: 8 }, () => [0, 0, 1])]),
      0.16,
    );
    expect(worstSoFar.map((risk) => Number(risk.toFixed(12)))).toEqual([0.02, 0.05, 0.85]);
    expect(accepted).toEqual([0, 1]); // permitted: (0.16 · 11 - 1) / 10 = 0.076
  });

  it("accepts nothing if n is too small for the level", () =>
    expect(conformalRiskControl(lossMatrix([[0], [0]]), 0.1).accepted).toEqual([]));
});
