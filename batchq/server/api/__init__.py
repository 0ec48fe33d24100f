"""What stands under ``/api/v1``: its routes, its description, its errors."""
