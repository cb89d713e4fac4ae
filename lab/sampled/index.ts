/** The models whose sampled text is measured. */
export { chatSubject, embeddedSubject } from "./subjects.js";
