/** Models from GGUF files. */
export { loadGguf, type OpenSibling } from "./load-gguf.js";
