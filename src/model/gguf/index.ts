/** Models from GGUF files. */
export { ggufFileTokenizer, loadGguf, type OpenSibling } from "./load-gguf.js";
