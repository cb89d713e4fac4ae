/** Populations whose truth is known, and calibration procedures judged on them. */
export {} from "./grouped.js";
export type { Population } from "./population.js";
export { cascadePopulation, clusteredPopulation, curvePopulation, populationFamilies } from "./populations.js";
export { type ProcedureName, procedures, type ProcedureSpec } from "./procedures.js";
export { oracleCoverage, simulate } from "./simulate.js";
export { betaLoss, medianOf, simulateAudits, unitsUntilAlarm } from "./audits.js";
