/* Evaluate a potential or committee on atoms and ghosts: an example of taylorfit.h, and what test_c_api.py runs.
 *
 * evaluate N_MEMBERS N_FILES FILE... < STRUCTURE
 *
 * STRUCTURE: number of centres, of all atoms, of types; the species of each type ("-": not seen); per atom type, x, y, z (Å).
 * Prints one quantity a line: name, numbers.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "taylorfit.h"

enum { SKIN_BIT = 1 << 30 }; /* LAMMPS marks special neighbours in the upper bits */

static void fail(const tf_error *error)
{
    printf("error %d %s\n", error->code, error->message);
    exit(1);
}

static void print(const char *name, const double *values, int n)
{
    printf("%s", name);
    for (int i = 0; i < n; i++) printf(" %.17g", values[i]);
    printf("\n");
}

static double *zeros(int n) { return calloc(n > 0 ? n : 1, sizeof(double)); }

/* A full neighbour list with a skin of 0.4 Å, by brute force */
static void make_list(const double *x, int n_centres, int n_atoms, double reach, int *count, int **neighbours)
{
    for (int i = 0; i < n_atoms; i++) {
        neighbours[i] = NULL;
        count[i] = -1; /* of ghosts nobody looks at it */
        if (i >= n_centres) continue;
        neighbours[i] = malloc(n_atoms * sizeof(int));
        count[i] = 0;
        for (int j = 0; j < n_atoms; j++) {
            double d = 0.0;
            for (int k = 0; k < 3; k++) d += (x[3 * j + k] - x[3 * i + k]) * (x[3 * j + k] - x[3 * i + k]);
            if (j != i && d <= reach * reach) neighbours[i][count[i]++] = j % 2 ? j | SKIN_BIT : j;
        }
    }
}

struct job {
    const tf_potential *potential;
    const tf_atoms *atoms;
    double energy;
    double *force;
    tf_error error;
};

static void *run(void *argument)
{
    struct job *job = argument;
    for (int repeat = 0; repeat < 20; repeat++) {
        job->energy = 0.0;
        memset(job->force, 0, 3 * job->atoms->n_atoms * sizeof(double));
        tf_results results = {.energy = &job->energy, .force = job->force};
        if (tf_evaluate(job->potential, job->atoms, &results, 1, NULL, &job->error)) break;
    }
    return NULL;
}

/* Two threads on one potential get what one gets */
static void check_threads(const tf_potential *potential, const tf_atoms *atoms, double energy)
{
    struct job jobs[2];
    pthread_t threads[2];
    for (int t = 0; t < 2; t++) {
        jobs[t] = (struct job){.potential = potential, .atoms = atoms, .force = zeros(3 * atoms->n_atoms)};
        pthread_create(&threads[t], NULL, run, &jobs[t]);
    }
    for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
    printf("threads_agree %d\n", jobs[0].energy == energy && jobs[1].energy == energy &&
           !memcmp(jobs[0].force, jobs[1].force, 3 * atoms->n_atoms * sizeof(double)));
    for (int t = 0; t < 2; t++) free(jobs[t].force);
}

int main(int n_arguments, char **arguments)
{
    tf_error error;
    int n_members = atoi(arguments[1]), n_files = atoi(arguments[2]), n_centres, n_atoms, n_types;
    if (n_arguments != 3 + n_members * n_files) return 2;
    tf_potential *potential = tf_potential_new();
    if (tf_potential_load(potential, n_members, n_files, (const char *const *)arguments + 3, &error)) fail(&error);
    printf("build %s\nversion %s\nmembers %d\n", tf_build(), tf_version(), tf_potential_members(potential));
    double cutoff = tf_potential_cutoff(potential);
    print("cutoff", &cutoff, 1);

    if (scanf("%d %d %d", &n_centres, &n_atoms, &n_types) != 3) return 2;
    int *species = calloc(n_types + 1, sizeof(int)), *type = calloc(n_atoms + 1, sizeof(int));
    for (int t = 1; t <= n_types; t++) {
        char name[8];
        if (scanf("%7s", name) != 1) return 2;
        species[t] = -1;
        for (int k = 0; k < tf_potential_n_species(potential); k++)
            if (!strcmp(name, tf_potential_species(potential, k))) species[t] = k;
        if (species[t] < 0 && strcmp(name, "-")) species[t] = 99; /* the engine refuses it */
    }
    double *x = zeros(3 * n_atoms);
    for (int i = 0; i < n_atoms; i++)
        if (scanf("%d %lf %lf %lf", &type[i], x + 3 * i, x + 3 * i + 1, x + 3 * i + 2) != 4) return 2;
    int *count = calloc(n_atoms + 1, sizeof(int)), *centre = calloc(n_centres + 1, sizeof(int));
    int **neighbours = calloc(n_atoms + 1, sizeof(int *));
    make_list(x, n_centres, n_atoms, cutoff + 0.4, count, neighbours);
    for (int i = 0; i < n_centres; i++) centre[i] = n_centres - 1 - i; /* in any order */
    tf_atoms atoms = {.n_atoms = n_atoms, .n_centres = n_centres, .n_types = n_types, .mask = SKIN_BIT - 1, .position = x,
                      .type = type, .species_of_type = species, .centre = centre, .n_neighbours = count,
                      .neighbours = (const int *const *)neighbours};

    double energy = 0.0, virial[6] = {0};
    int *component = calloc(n_atoms + 1, sizeof(int));
    tf_results results = {
        .energy = &energy, .atom_energy = zeros(n_atoms), .force = zeros(3 * n_atoms), .virial = virial,
        .atom_virial = zeros(6 * n_atoms), .centroid_virial = zeros(9 * n_atoms), .member_energy = zeros(n_members),
        .member_atom_energy = zeros(n_members * n_atoms), .member_force = zeros(3 * n_members * n_atoms),
        .excess = zeros(n_atoms), .component = component};
    if (tf_evaluate(potential, &atoms, &results, 1, NULL, &error)) fail(&error);
    print("energy", &energy, 1);
    print("virial", virial, 6);
    print("atom_energy", results.atom_energy, n_atoms);
    print("force", results.force, 3 * n_atoms);
    print("atom_virial", results.atom_virial, 6 * n_atoms);
    print("centroid_virial", results.centroid_virial, 9 * n_atoms);
    print("member_energy", results.member_energy, n_members);
    print("member_force", results.member_force, 3 * n_members * n_atoms);
    print("excess", results.excess, n_centres);
    printf("component");
    for (int i = 0; i < n_centres; i++) printf(" %d", component[i]);
    double *deviation = zeros(n_atoms), energy_deviation;
    tf_deviation(n_members, n_atoms, 1, results.member_atom_energy, deviation);
    print("\natom_energy_std", deviation, n_centres);
    tf_deviation(n_members, 1, 1, results.member_energy, &energy_deviation);
    print("energy_std", &energy_deviation, 1);

    /* Added to what is there; energies alone; more threads; stopped */
    double twice = energy;
    tf_results only_energy = {.energy = &twice};
    if (tf_evaluate(potential, &atoms, &only_energy, 2, NULL, &error)) fail(&error);
    print("twice", &twice, 1);
    check_threads(potential, &atoms, energy);
    int32_t stop = 1;
    twice = energy;
    printf("stopped %d", tf_evaluate(potential, &atoms, &only_energy, 1, &stop, &error));
    printf(" %s %d\n", error.message, twice == energy);
    tf_potential_free(potential);
    return 0;
}
