/** Reports: the machine, tables, prose, charts, and the files that they go to. */
export { rankTokens } from "./agreement.js";
export { barChart, dotChart } from "./charts.js";
export { percent, quartiles, spread, withRange } from "./format.js";
export { describeMachine, machine, type Machine } from "./machine.js";
export { plotSvg } from "./plot.js";
export { prose } from "./prose.js";
export { type Report, type Table, toMarkdown, writeReport } from "./report.js";
export { isMain, reportsFolder } from "./script.js";
