/** What decoding costs: counted by the ledger, measured as unit times. */
export { type CountName, type Counts, sumCounts } from "./counts.js";
export { type DecodedRun, Ledger, type LedgerReport } from "./ledger.js";
export {
  blockCost,
  costOfRows,
  type CostsByRows,
  countedCosts,
  FURTHER_ROW,
  growingCosts,
  QUOTED_CONTEXT,
  type UnitCosts,
} from "./unit-costs.js";
export {
  type MeasureUnitsOptions,
  measureUnitTimes,
  predictParts,
  predictTime,
  type TimeParts,
  type UnitTimes,
} from "./unit-times.js";
