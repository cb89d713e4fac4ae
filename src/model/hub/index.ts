/** Names of the Hugging Face Hub, and the files that a model needs. */
export { type HubName, hubUrl, isHubName, parseHubName } from "./hub-name.js";
export { neededFiles, type NeededFiles, shardsOf, tokenizerFiles } from "./needed-files.js";
