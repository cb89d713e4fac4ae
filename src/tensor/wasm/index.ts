/** The CPU device: WebAssembly SIMD with threads. Loaded when the device is created. */
export { WasmMemory } from "./memory.js";
export { compileKernels, instantiateKernels } from "./module.js";
export { createWasmDevice } from "./wasm-device.js";
