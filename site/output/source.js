/** The site's choice of light or dark, as VitePress stores it. */
const choice = localStorage.getItem("vitepress-theme-appearance") ?? "auto";
const dark = choice === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : choice === "dark";
document.documentElement.classList.toggle("dark", dark);
