/** Machine, timing, tables and plots of reports. */
export { describeMachine, machine, type Machine } from "./measure.js";
export { plotSvg } from "./plot.js";
export { barChart, dotChart, type Report, type Table, toMarkdown, writeReport } from "./report.js";
