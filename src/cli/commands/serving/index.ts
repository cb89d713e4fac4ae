/** Commands that answer requests. */
export { serveCommand, type ServeSettings } from "./serve.js";
