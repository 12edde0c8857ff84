"""What a kilowatt-hour emits, by country."""
