/** A model behind OpenAI's HTTP API. */
export { type RunningServer, serveDefaults, serveModel, type ServeOptions } from "./serve-model.js";
