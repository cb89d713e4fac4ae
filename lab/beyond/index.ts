export { coverageBeside, type Judged } from "./coverage.js";
export { compareMaps, type MapPoint } from "./head-maps.js";
export { LowRankModel } from "./low-rank.js";
export { beyondReport, type DistilRun, type MapsRun } from "./report.js";
export { type DistilPoint, type DistilStep, selfDistil } from "./self-distil.js";
