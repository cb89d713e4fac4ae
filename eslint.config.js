import tseslint from "typescript-eslint";

/**
 * Layers of the library: a file may import from its own layer and from those before it. test/imports.test.ts enforces
 * it.
 */
export default tseslint.config(
  {
    ignores: [
      "dist/**",
      "playground/dist/**",
      "site/dist/**",
      "site/.vitepress/cache/**",
      "coverage/**",
      "docs/api/**",
      "node_modules/**",
      "**/*.generated.ts",
      "**/*.as.ts",
      "bench/peers/**",
    ],
  },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { project: "./tsconfig.json", tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Numeric inner loops index typed arrays whose bounds were checked at the public door.
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/prefer-for-of": "off",
      "@typescript-eslint/no-unnecessary-condition": [
        "error",
        { allowConstantLoopConditions: "only-allowed-literals" },
      ],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      eqeqeq: "error",
      "one-var": ["error", "never"],
      curly: ["error", "multi-line"],
      "no-restricted-syntax": [
        "error",
        { selector: "TSEnumDeclaration", message: "Use a union of string literals." },
        {
          selector: [
            ":matches(ForStatement, ForOfStatement, ForInStatement, WhileStatement) >",
            ":matches(IfStatement, ForStatement, ForOfStatement, WhileStatement).body",
          ].join(" "),
          message: "A loop whose body is another statement takes braces and lines of its own.",
        },
        { selector: "ExportDefaultDeclaration", message: "Use a named export: file = export = test name." },
      ],
    },
  },
  { files: ["examples/*.ts"], languageOptions: { parserOptions: { project: "./tsconfig.examples.json" } } },
  {
    files: [
      "*.config.ts",
      "playground/vite.config.ts",
      "site/.vitepress/config.ts",
      "site/.vitepress/theme/index.ts",
      "eslint.config.js",
    ],
    rules: { "no-restricted-syntax": "off" },
  },
  { files: ["**/*.js", "**/*.mjs"], ...tseslint.configs.disableTypeChecked },
);
