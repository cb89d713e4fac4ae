/** Models from GGUF files. */
export { ggufFileTokenizer, loadGguf, openGguf, type OpenedGguf, type OpenSibling } from "./load-gguf.js";
