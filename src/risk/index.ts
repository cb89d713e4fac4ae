/**
 * Statistics of losses in [0, 1], without any model: risk control, bounds on a mean, multiple tests, an alarm, and
 * tests of what all of them assume.
 * @module early-exits/risk
 */
export { alarm, type AlarmState, stepAlarm } from "./alarm.js";
export { bettingBound } from "./betting-bound.js";
export { clopperPearson } from "./binomial.js";
export { errorFreeUnits } from "./certify-losses.js";
export { clusterTest, exchangeabilityTest } from "./exchangeability.js";
export { hoeffdingBentkus } from "./hoeffding-bentkus.js";
export { fixedSequence, holm } from "./multiple-tests.js";
export { riskControl, type RiskCertificate, type RiskControlOptions } from "./risk-control.js";
