import base from "./vitest.config.js";
const exp = process.env["EXP"] ?? "";
const b: any = base;
b.test.cache = false;
if (exp.includes("native")) {
  b.test.experimental = { viteModuleRunner: false, nodeLoader: !exp.includes("noloader") };
  b.test.execArgv = ["--import", "tsx"];
}
if (exp.includes("threads")) b.test.pool = "threads";
if (exp.includes("fs")) b.test.experimental = { fsModuleCache: true, fsModuleCachePath: "/tmp/fsmc" };
export default b;
