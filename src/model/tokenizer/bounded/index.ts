/** Whether a tokenizer.json asks for more than its limits allow, before anything is built from it. */
export { requireBoundedSections } from "./bounded-sections.js";
