/** What decoding costs: counted by the ledger, measured as unit times. */
export { type CountName, type Counts, sumCounts } from "./counts.js";
export { blockCost, type DecodedRun, Ledger, type LedgerReport, QUOTED_CONTEXT } from "./ledger.js";
export { costOfRows, type CostsByRows, countedCosts, FURTHER_ROW, growingCosts, type UnitCosts } from "./unit-costs.js";
export { type MeasureUnitsOptions, measureUnitTimes, predictTime, type UnitTimes } from "./unit-times.js";
