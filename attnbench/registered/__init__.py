"""What is known of the classes that a grid file names: of the built-in ones by parsing, of a user's by inspection."""
