/** What decoding costs: counted by the ledger, measured as unit times. */
export {
  blockCost,
  type CountName,
  type Counts,
  type DecodedRun,
  Ledger,
  type LedgerReport,
  QUOTED_CONTEXT,
  sumCounts,
} from "./ledger.js";
export { costOfRows, type CostsByRows, countedCosts, FURTHER_ROW, growingCosts, type UnitCosts } from "./unit-costs.js";
export { type MeasureUnitsOptions, measureUnitTimes, predictTime, type UnitTimes } from "./unit-times.js";
