/** What certified policies do to text: speed, perplexity, losses. */
export { compareWays, type JudgedWay } from "./compare-ways.js";
export { kindsOfText } from "./kinds-of-text.js";
export { perplexityOf } from "./perplexity.js";
export {
  type ChatSource,
  chatSubject,
  embeddedSubject,
  type SampledSubject,
  type SampledSubjectOptions,
} from "./sampled-subjects.js";
