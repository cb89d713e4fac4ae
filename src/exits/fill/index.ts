/** Where the keys and values of skipped blocks come from. */
export {
  checkFill,
  exactFill,
  type Fill,
  fillCost,
  type FillMeter,
  type FillName,
  fillNames,
  fills,
  isExactFill,
  requireFillFor,
} from "./fill.js";
