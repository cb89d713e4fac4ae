/** The words for results: calibrations, plans, generated texts. */
export { calibrationLines, NO_GUARANTEE, noteLines, outcomeTable, promiseLines } from "./calibration-lines.js";
export { calibrationNext } from "./calibration-next.js";
export { modelLines } from "./model-lines.js";
export { commandLine, nextLines, shellWord } from "./next-lines.js";
export { type MeasuredPlan, measuredPlanLines, measuredVerdict, planLines, planVerdict } from "./plan-lines.js";
export { auditLine, summaryLines } from "./summary-lines.js";
export { calibrationVerdict, type Race, trainingVerdict, worthOf } from "./verdict-lines.js";
