/** A certificate checked against its own arithmetic; loaded only when a program certifies or verifies. */
export { LIMITS } from "./limits.js";
export { verifyStored } from "./verify-certificate.js";
