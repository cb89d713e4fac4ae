/** Commands that answer requests. */
export { serveCommand } from "./serve.js";
