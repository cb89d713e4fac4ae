/** Populations whose truth is known, and calibration procedures judged on them. */
export { drawGroups, type GroupedDraw, randomSources, type Sources, sourcesPopulation, truthOf } from "./grouped.js";
export type { Population } from "./population.js";
export { cascadePopulation, clusteredPopulation, curvePopulation, populationFamilies } from "./populations.js";
export { type ProcedureName, procedures, type ProcedureSpec } from "./procedures.js";
export { oracleCoverage, simulate } from "./simulate.js";
export { betaLoss, medianOf, type SimulatedAudits, simulateAudits, unitsUntilAlarm } from "./audits.js";
