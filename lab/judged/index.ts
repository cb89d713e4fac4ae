/** What certified policies do to text: speed, perplexity, losses. */
export { compareWays, type JudgedWay, type WayOutcome } from "./compare-ways.js";
export { kindsOfText } from "./kinds-of-text.js";
export { perplexityOf } from "./perplexity.js";
