-- A Master.csv as it is: 21 columns of text, no key.
drop table if exists asterisk_text;
create table asterisk_text (
    c1 text, c2 text, c3 text, c4 text, c5 text, c6 text, c7 text, c8 text, c9 text, c10 text, c11 text,
    c12 text, c13 text, c14 text, c15 text, c16 text, c17 text, c18 text, c19 text, c20 text, c21 text
);
