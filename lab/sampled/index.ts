/** The models whose sampled text is measured. */
export {
  type ChatSource,
  chatSubject,
  embeddedSubject,
  type SampledSubject,
  type SampledSubjectOptions,
} from "./subjects.js";
