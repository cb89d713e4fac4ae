/** Populations with known truth, to judge calibration procedures. */
export type { Population } from "./population.js";
export { cascadePopulation, clusteredPopulation, curvePopulation, populationFamilies } from "./populations.js";
export { type ProcedureName, procedures, type ProcedureSpec } from "./procedures.js";
export { oracleCoverage, simulate } from "./simulate.js";
