/** The CPU device: WebAssembly SIMD with threads. Loaded when the device is created. */
export { WasmMemory } from "./memory.js";
export { compileKernels, instantiateKernels, type WasmBuild } from "./module.js";
export { createWasmDevice, type WasmOptions } from "./wasm-device.js";
