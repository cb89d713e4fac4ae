/** Operating points, their certificates, and what texts cost. */
export { CertificateView } from "./certificate-view.js";
export { clearCosts, modeNames, comparisonOf, showLedger, showTimings, showVerdict } from "./cost-view.js";
export { summaryOf } from "./depths-view.js";
export { type PointChoice, PointsView } from "./points-view.js";
export { procedures } from "./procedure.js";
export { showThresholds } from "./thresholds-view.js";
