"""How words are disguised: by sound, by shape, by picture. Shared by the reader and the attack generator."""
