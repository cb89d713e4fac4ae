/** Every kernel as plain loops: the explanation, the oracle and the fallback. */
export { createReferenceDevice, type ReferenceOptions } from "./reference-device.js";
