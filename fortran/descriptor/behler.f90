!> Behler-Parrinello symmetry functions G1 to G5 (J. Behler, J. Chem. Phys. 134, 074106 (2011)).
!>
!> G1 = Σ_j f(r_j), G2 = Σ_j exp(-η(r_j - R_s)²) f(r_j), G3 = Σ_j cos(κ r_j) f(r_j); G4, G5: tf_behler_triples.
!> Values come in ænet's order (tf_behler_tables).
module tf_behler
   use tf_kinds, only : wp, padded, i8
   use tf_vector_math, only : exponentials, whole_powers, inner_product
   use tf_surroundings, only : surroundings_type
   use tf_cutoff, only : cosine_cutoff_squared
   use tf_behler_tables, only : behler_type, radial_type, new_behler
   use tf_behler_shells, only : shells_type, fill_shells, col_x, col_z, col_r, col_inverse, col_f, col_slope
   use tf_behler_angular, only : behler_work_type, new_behler_work, behler_scratch_type, new_behler_scratch, angular_sums, &
      angular_slopes
   use tf_error, only : error_type, check_memory
   implicit none
   private
   public :: behler_type, new_behler, behler_values, behler_gradient, behler_gradients, behler_work_type, &
      new_behler_work, behler_scratch_type, new_behler_scratch, radial_function_slopes

contains

   !> Derivatives of single radial functions, 1/Å
   pure subroutine radial_function_slopes(r, table, slopes)
      !> Distance, Å
      real(wp), intent(in) :: r
      !> (5, n) from `radial_of_species`
      real(wp), intent(in) :: table(:, :)
      real(wp), intent(out) :: slopes(size(table, 2))
      real(wp) :: f(1), df(1), last
      integer :: m

      last = 0.0_wp
      do m = 1, size(table, 2)
         if (abs(table(4, m) - last) > 0.0_wp) call cosine_cutoff_squared(1, [r**2], table(4, m), f, df)
         last = table(4, m)
         select case (nint(table(1, m)))
         case (1)
            slopes(m) = r*df(1)
         case (2)
            slopes(m) = (r*df(1) - 2.0_wp*table(3, m)*(r - table(2, m))*f(1))*exp(-table(3, m)*(r - table(2, m))**2)
         case (3)
            slopes(m) = r*df(1)*cos(table(2, m)*r) - table(2, m)*f(1)*sin(table(2, m)*r)
         end select
      end do
   end subroutine radial_function_slopes

   !> Values of the descriptor of one atom
   subroutine behler_values(behler, around, with_slopes, work, scratch, values)
      type(behler_type), intent(in) :: behler
      type(surroundings_type), intent(in) :: around
      !> Will the gradient be asked for?
      logical, intent(in) :: with_slopes
      type(behler_work_type), intent(inout) :: work
      type(behler_scratch_type), intent(inout) :: scratch
      !> In the order of the table of functions
      real(wp), intent(out) :: values(behler%n_feature)
      integer :: i

      values = 0.0_wp
      call fill_shells(behler%shells, around, work%shells)
      work%n_kept = 0
      do i = 1, size(behler%radial)
         call radial_values(behler%radial(i), work%shells, scratch, work%e(:, :, i), values)
      end do
      do i = 1, size(behler%angular)
         call angular_sums(behler%angular(i), i, with_slopes, work, scratch, values)
      end do
   end subroutine behler_values

   !> Derivative of Σ_f g_f G_f with respect to the vectors to the neighbours, added to around%gx, gy, gz;
   !> `behler_values` with slopes comes first
   subroutine behler_gradient(behler, g, around, work, scratch)
      type(behler_type), intent(in) :: behler
      !> Factor of each descriptor value
      real(wp), intent(in) :: g(behler%n_feature)
      type(surroundings_type), intent(inout) :: around
      type(behler_work_type), intent(in) :: work
      type(behler_scratch_type), intent(inout) :: scratch
      logical :: touched(size(behler%shells), 1)

      call sum_slopes(behler, 1, g, work, scratch, touched)
      call add_vectors(touched(:, 1), 1, work%shells, scratch, around%gx, around%gy, around%gz)
   end subroutine behler_gradient

   !> The same for several sets of factors at once: most of the work is shared
   subroutine behler_gradients(behler, n_sets, g, work, scratch, gradient, error)
      type(behler_type), intent(in) :: behler
      integer, intent(in) :: n_sets
      !> Factors of each descriptor value
      real(wp), intent(in) :: g(behler%n_feature, n_sets)
      type(behler_work_type), intent(in) :: work
      type(behler_scratch_type), intent(inout) :: scratch
      !> (neighbours, 3, n_sets) added to
      real(wp), intent(inout), contiguous :: gradient(:, :, :)
      type(error_type), allocatable, intent(inout) :: error
      logical :: touched(size(behler%shells), n_sets)
      integer :: n, n_shells, k, status

      if (size(scratch%sums, 4) < n_sets) then
         n = size(scratch%sums, 2)
         n_shells = size(scratch%sums, 3)
         deallocate (scratch%sums)
         allocate (scratch%sums(8, n, n_shells, n_sets), stat=status)
         call check_memory(status, "the scratch of descriptors", 64_i8*n*n_shells*n_sets, error)
         if (allocated(error)) return
      end if
      call sum_slopes(behler, n_sets, g, work, scratch, touched)
      do k = 1, n_sets
         call add_vectors(touched(:, k), k, work%shells, scratch, gradient(:, 1, k), gradient(:, 2, k), gradient(:, 3, k))
      end do
   end subroutine behler_gradients

   !> Fill the sums of all sets of factors, for those shells that a set is about: force maps ask for single functions
   subroutine sum_slopes(behler, n_sets, g, work, scratch, touched)
      type(behler_type), intent(in) :: behler
      !> At most as many as the scratch has
      integer, intent(in) :: n_sets
      real(wp), intent(in) :: g(behler%n_feature, n_sets)
      type(behler_work_type), intent(in) :: work
      type(behler_scratch_type), intent(inout) :: scratch
      !> Which shells a set is about
      logical, intent(out) :: touched(size(behler%shells), n_sets)
      logical :: wanted(size(behler%radial), n_sets)
      integer :: i, k, l, s

      touched = .false.
      do l = 1, n_sets
         do i = 1, size(behler%radial)
            wanted(i, l) = any(abs(g(behler%radial(i)%feature, l)) > 0.0_wp)
            if (wanted(i, l)) touched(behler%radial(i)%shell, l) = .true.
         end do
         do i = 1, size(behler%angular)
            if (any(abs(g(behler%angular(i)%feature, l)) > 0.0_wp)) touched(behler%angular(i)%shell, l) = .true.
         end do
      end do
      do s = 1, size(behler%shells)
         do k = 1, work%shells%n(s)
            scratch%vector(1:3, k, s) = work%shells%column(k, col_x:col_z, s)
            scratch%vector(4, k, s) = 0.0_wp
         end do
         do l = 1, n_sets
            if (touched(s, l)) scratch%sums(:, :work%shells%n(s), s, l) = 0.0_wp
         end do
      end do
      do l = 1, n_sets
         do i = 1, size(behler%radial)
            if (wanted(i, l)) call radial_slopes(behler%radial(i), g(:, l), l, work%shells, work%e(:, :, i), scratch)
         end do
      end do
      do i = 1, size(behler%angular)
         if (all(abs(g(behler%angular(i)%feature, :)) <= 0.0_wp)) cycle
         call angular_slopes(behler%angular(i), i, n_sets, g, work, scratch)
      end do
   end subroutine sum_slopes

   !> Add the derivatives of a set of factors with respect to the vectors to the neighbours
   subroutine add_vectors(touched, set, shells, scratch, gx, gy, gz)
      !> Shells that the set is about
      logical, intent(in) :: touched(:)
      integer, intent(in) :: set
      type(shells_type), intent(in) :: shells
      type(behler_scratch_type), intent(in) :: scratch
      !> (neighbours)
      real(wp), intent(inout) :: gx(:), gy(:), gz(:)
      real(wp) :: along, log_slope, inverse
      integer :: i, k, s

      do s = 1, size(touched)
         if (.not. touched(s)) cycle
         do k = 1, shells%n(s)
            i = shells%at(k, s)
            ! (df/dr)/(r f); at the cutoff f and with it the sum may vanish
            log_slope = shells%column(k, col_slope, s)/max(shells%column(k, col_f, s), tiny(1.0_wp))
            inverse = shells%column(k, col_inverse, s)
            along = scratch%sums(1, k, s, set)*log_slope - scratch%sums(2, k, s, set)*inverse**2 + scratch%sums(3, k, s, set)
            gx(i) = gx(i) + along*scratch%vector(1, k, s) + scratch%sums(5, k, s, set)
            gy(i) = gy(i) + along*scratch%vector(2, k, s) + scratch%sums(6, k, s, set)
            gz(i) = gz(i) + along*scratch%vector(3, k, s) + scratch%sums(7, k, s, set)
         end do
      end do
   end subroutine add_vectors

   ! --- radial functions ---------------------------------------------------------------------------

   !> exp(-η(r - R_s)²) of all G2 of a group
   subroutine radial_exponentials(radial, n, r, column, e)
      type(radial_type), intent(in) :: radial
      !> Neighbours, and their distances (Å)
      integer, intent(in) :: n
      real(wp), intent(in) :: r(n)
      real(wp), intent(inout) :: column(n)
      !> (n, exponents)
      real(wp), intent(inout), contiguous :: e(:, :)
      integer :: m, i

      do m = 1, radial%n
         if (radial%kind(m) /= 2) cycle
         if (radial%base(m) > 0) then
            call whole_powers(n, e(:, radial%base(m)), radial%power(m), e(:, m))
         else
            !$omp simd
            do i = 1, n
               column(i) = -radial%eta(m)*(r(i) - radial%place(m))**2
            end do
            call exponentials(n, column, e(:, m))
         end if
      end do
   end subroutine radial_exponentials

   subroutine radial_values(radial, shells, scratch, e, values)
      type(radial_type), intent(in) :: radial
      type(shells_type), intent(in) :: shells
      type(behler_scratch_type), intent(inout) :: scratch
      !> (n_most, functions) exponentials
      real(wp), intent(inout), contiguous :: e(:, :)
      !> (n_feature)
      real(wp), intent(inout) :: values(:)
      integer :: n, m, f

      n = padded(shells%n(radial%shell))
      if (n == 0) return
      associate (r => shells%column(:, col_r, radial%shell), fc => shells%column(:, col_f, radial%shell))
      call radial_exponentials(radial, n, r, scratch%extra(:, 1), e)
      do m = 1, radial%n
         f = radial%feature(m)
         select case (radial%kind(m))
         case (1)
            values(f) = sum(fc(:shells%n(radial%shell)))
         case (2)
            values(f) = inner_product(n, fc, e(:, m))
         case (3)
            scratch%extra(:n, 1) = cos(radial%place(m)*r(:n))
            values(f) = inner_product(n, fc, scratch%extra(:, 1))
         end select
      end do
      end associate
   end subroutine radial_values

   !> Add E = f Σ g e, and (Σ g de/dr) f/r as the common part, of each neighbour
   subroutine radial_slopes(radial, g, set, shells, e, scratch)
      type(radial_type), intent(in) :: radial
      !> (n_feature) factor of each value, and which set they are
      real(wp), intent(in) :: g(:)
      integer, intent(in) :: set
      type(shells_type), intent(in) :: shells
      !> From `radial_values`
      real(wp), intent(in), contiguous :: e(:, :)
      type(behler_scratch_type), intent(inout) :: scratch
      real(wp) :: factor, change, here, turn
      integer :: n, m, i, s

      s = radial%shell
      n = padded(shells%n(s))
      if (n == 0) return
      associate (r => shells%column(:, col_r, s), total => scratch%extra(:, 2), slope => scratch%extra(:, 3))
      total(:n) = 0.0_wp
      slope(:n) = 0.0_wp
      do m = 1, radial%n
         factor = g(radial%feature(m))
         here = radial%place(m)
         change = 2.0_wp*radial%eta(m)
         select case (radial%kind(m))
         case (1)
            total(:n) = total(:n) + factor
         case (2)
            !$omp simd private(turn)
            do i = 1, n
               turn = factor*e(i, m)
               total(i) = total(i) + turn
               slope(i) = slope(i) - change*(r(i) - here)*turn
            end do
         case (3)
            scratch%extra(:n, 1) = cos(here*r(:n))
            scratch%extra(:n, 4) = sin(here*r(:n))
            total(:n) = total(:n) + factor*scratch%extra(:n, 1)
            slope(:n) = slope(:n) - factor*here*scratch%extra(:n, 4)
         end select
      end do
      do i = 1, shells%n(s)
         scratch%sums(1, i, s, set) = scratch%sums(1, i, s, set) + shells%column(i, col_f, s)*total(i)
         scratch%sums(3, i, s, set) = scratch%sums(3, i, s, set) &
            + shells%column(i, col_f, s)*shells%column(i, col_inverse, s)*slope(i)
      end do
      end associate
   end subroutine radial_slopes

end module tf_behler
