/** Bounds on a risk from a sample, one per file. Each states its assumptions. */
export { binomialPmf, binomialTail } from "./binomial.js";
export { clopperPearsonLower, clopperPearsonUpper } from "./clopper-pearson.js";
export { hoeffdingPValue, hoeffdingSlack, hoeffdingUpper } from "./hoeffding.js";
export { hoeffdingBentkusPValue } from "./hoeffding-bentkus.js";
export { wsrPValue, wsrUpper } from "./wsr.js";
export { errorFreeUnits, unitsNeeded } from "./units-needed.js";
export { requireDelta, requireLevel } from "./check.js";
