"""``gpustation image``: images of workstations. Each subcommand has a module of its own."""

from __future__ import annotations

import typer

from gpustation.cli import image_delete, image_list, image_save, image_undo, image_use

app = typer.Typer(
    help="List the images of workstations, create, use or delete one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("save", epilog=image_save.EPILOG)(image_save.save)
app.command("undo", epilog=image_undo.EPILOG)(image_undo.undo)
app.command("list", epilog=image_list.EPILOG)(image_list.list_images)
app.command("use", epilog=image_use.EPILOG)(image_use.use)
app.command("delete", epilog=image_delete.EPILOG)(image_delete.delete)
