"""The app's own themes: dark, light, and high contrast."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="wimtui-dark",
    primary="#6cb6ff",
    secondary="#8ddb8c",
    accent="#f0b972",
    foreground="#d3dae3",
    background="#0f141a",
    surface="#141b23",
    panel="#1c2530",
    success="#6bc46d",
    warning="#e0af4e",
    error="#f7857d",
    dark=True,
    variables={
        "muted": "#93a2b4",
        "button-focus-text-style": "bold underline",
        "edge": "#2f3c4a",
        "edge-focus": "#6cb6ff",
        "row-cursor": "#1d3754",
        "input-selection-background": "#1d3754",
        "row-cursor-blurred": "#1f2a36",
        "row-hover": "#19222c",
        "footer-key-foreground": "#f0b972",
        "footer-description-foreground": "#9fb0c2",
        "footer-background": "#141b23",
    },
)

LIGHT = Theme(
    name="wimtui-light",
    primary="#0a5cab",
    secondary="#11692b",
    accent="#7a4f00",
    foreground="#1f2730",
    background="#f4f6f8",
    surface="#ffffff",
    panel="#e7ecf1",
    success="#11692b",
    warning="#7a4f00",
    error="#b81d27",
    dark=False,
    variables={
        "muted": "#4f5c6a",
        "button-focus-text-style": "bold underline",
        "edge": "#c3ccd6",
        "edge-focus": "#0a5cab",
        "row-cursor": "#d3e6fa",
        "input-selection-background": "#d3e6fa",
        "row-cursor-blurred": "#e3e9ef",
        "row-hover": "#eef2f6",
        "footer-key-foreground": "#6a4400",
        "footer-description-foreground": "#3d4a57",
        "footer-background": "#e7ecf1",
    },
)

CONTRAST = Theme(
    name="wimtui-contrast",
    primary="#00ffff",
    secondary="#00ff00",
    accent="#ffff00",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#202020",
    success="#00ff00",
    warning="#ffff00",
    error="#ff8080",
    dark=True,
    text_alpha=1.0,
    variables={
        "muted": "#d0d0d0",
        "button-focus-text-style": "bold underline",
        "edge": "#a0a0a0",
        "edge-focus": "#ffff00",
        "row-cursor": "#000090",
        "input-selection-background": "#000090",
        "row-cursor-blurred": "#383838",
        "row-hover": "#303030",
        "text-muted": "#e0e0e0",
        "text-disabled": "#b0b0b0",
        "footer-key-foreground": "#ffff00",
        "footer-description-foreground": "#ffffff",
        "footer-background": "#202020",
    },
)

THEMES = (DARK, LIGHT, CONTRAST)

LIKE = {
    "muted": "foreground-darken-2",
    "edge": "panel-lighten-2",
    "edge-focus": "primary",
    "row-cursor": "primary-muted",
    "row-cursor-blurred": "panel",
    "row-hover": "surface",
}
"""Where a theme of somebody else's has no such colour, this one of it is taken."""
