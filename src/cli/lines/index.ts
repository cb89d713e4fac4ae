/** The words for results: calibrations, plans, generated texts. */
export { calibrationLines, NO_GUARANTEE, noteLines, outcomeTable, promiseLines } from "./calibration-lines.js";
export { type MeasuredPlan, measuredPlanLines, planLines } from "./plan-lines.js";
export { summaryLines } from "./summary-lines.js";
